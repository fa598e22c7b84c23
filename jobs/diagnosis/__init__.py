"""`ai-agents diagnose`: one verdict on a ticket, by the causes of the FAQ."""
