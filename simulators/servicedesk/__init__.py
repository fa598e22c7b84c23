"""A simulated ManageEngine ServiceDesk Plus, API v3, on premises and cloud."""

from simulators.servicedesk.app import create_desk
from simulators.servicedesk.settings import DeskConfig, DeskOptions

__all__ = ["DeskConfig", "DeskOptions", "create_desk"]
