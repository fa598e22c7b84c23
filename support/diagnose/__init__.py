"""`ai-agents diagnose`: why a ticket has no enhancement, or that it has one, as one verdict of the FAQ's causes."""
