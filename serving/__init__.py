"""How a port of ours is listened to: who may connect, for how long, and who goes when there are too many."""
