"""`ai-agents diagnose`: one verdict on a ticket's enhancement, by the FAQ's causes."""
