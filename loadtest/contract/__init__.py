"""What does the application under test say? Its contract: data, and a typed model."""

from loadtest.contract.actions import Action, Authenticate, Calls, Chats, Presence
from loadtest.contract.answers import AckRule, HttpCall
from loadtest.contract.connect import Headers
from loadtest.contract.delivery import Delivery, ErrorEvent
from loadtest.contract.faults import ContractError
from loadtest.contract.feed import Feed
from loadtest.contract.loader import load, parse
from loadtest.contract.model import Contract, Need
from loadtest.contract.path import JsonPath
from loadtest.contract.template import Template

__all__ = [
    "AckRule",
    "Action",
    "Authenticate",
    "Calls",
    "Chats",
    "Contract",
    "ContractError",
    "Delivery",
    "ErrorEvent",
    "Feed",
    "Headers",
    "HttpCall",
    "JsonPath",
    "Need",
    "Presence",
    "Template",
    "load",
    "parse",
]
