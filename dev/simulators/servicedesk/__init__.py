"""A simulated ManageEngine ServiceDesk Plus, API v3, on premises and cloud."""

from dev.simulators.servicedesk.app import create_desk
from dev.simulators.servicedesk.settings import DeskConfig, DeskOptions

__all__ = ["DeskConfig", "DeskOptions", "create_desk"]
