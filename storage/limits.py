"""Times and limits passed to the database functions, each defined once."""

from datetime import timedelta

MOST_ATTEMPTS = 8
LAST_LOOK = timedelta(minutes=5)
"""How long a worker has for the last look at a ticket whose note may be there."""
LONGEST_LIFE = timedelta(days=1)
"""How long holds may put a job's deadline off, from its acceptance or its last retry by hand on."""
PUT_OFF_AHEAD = timedelta(minutes=5)
"""How long before its deadline that of a job is put off which waits for its tenant's share: longer than an attempt."""
SEEN_OPEN = timedelta(hours=1)
"""How long it counts that a ticket was seen open: a job that is held back meanwhile does not look again."""
ANOTHER_FIRST_WAIT = timedelta(seconds=15)
"""How long a job waits for another one of its ticket before it looks again."""
ECHO = timedelta(minutes=10)
"""How long after a failure note a webhook of its ticket may be what the note itself set off."""
REFRESH_APART = timedelta(hours=1)
"""How long after a further note a ticket gets no other one."""
DELIVERY_KNOWN = timedelta(minutes=10)
"""How long a delivery is known, from the first one on."""
KEYS_KEPT = timedelta(hours=1)
"""How long a delivery's keys stay past their time: of an event that waited in Redis it is compared with its own."""
REJECTIONS_KEPT = timedelta(days=7)
"""And tickets whose webhook never came."""
USES_KEPT = timedelta(days=7)
"""How long it is kept how often a secret was used in an hour."""
SECRETS_KEPT = timedelta(days=30)
"""How long a secret that no process has any more is known: one that comes back meanwhile is as old as it was."""
MOST_RECOVERED_A_MINUTE = 60
"""Jobs that are made in a minute for a tenant's tickets whose webhooks never came."""
PUBLISHED_LATELY = timedelta(seconds=3)
"""How long after a publication nobody asks where the message is: it may be on its way."""
OVERDUE = timedelta(minutes=1)
"""How long past its deadline a job without an outcome is counted as one that should not be."""
TURN_LOOKS = 16
"""How many tenants with a waiting job a claim looks at for the one that is furthest below its share."""
SHORTEST_TURN = timedelta(seconds=1)
"""How long a start counts as a place at least: a tenant whose jobs all end at once must not have every turn."""
