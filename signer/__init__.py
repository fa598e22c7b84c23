"""A process beside a desk that can't sign: keeps its webhooks until the API has accepted them, signs and forwards."""
