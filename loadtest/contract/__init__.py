"""What does the application under test say? Its contract: data, and a typed model."""

from loadtest.contract.answers import AckRule, HttpCall
from loadtest.contract.faults import ContractError
from loadtest.contract.feed import Feed
from loadtest.contract.loader import load, parse
from loadtest.contract.model import (
    Action,
    Authenticate,
    Calls,
    Chats,
    Contract,
    Delivery,
    ErrorEvent,
    Headers,
)
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
    "Template",
    "load",
    "parse",
]
