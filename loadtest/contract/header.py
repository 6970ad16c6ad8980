"""What is one header line of a request, with variables in its value?"""

from loadtest.contract.table import Table
from loadtest.contract.template import TextTemplate


class Header(Table, frozen=True, kw_only=True):
    """One header line. In TOML a pair: ``["Accept", "*/*"]``."""

    name: str
    value: TextTemplate
