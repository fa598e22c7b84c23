"""Times and limits passed to the database functions, each defined once."""

from datetime import timedelta

MOST_ATTEMPTS = 8
LAST_LOOK = timedelta(minutes=5)  # for the last look at a ticket that may have the note
LONGEST_LIFE = timedelta(days=1)  # of a job with holds, from its acceptance or last manual retry
PUT_OFF_AHEAD = timedelta(minutes=5)  # before the deadline of a job that waits for its share; longer than an attempt
SEEN_OPEN = timedelta(hours=1)  # in which a held job does not look again whether its ticket is open
ANOTHER_FIRST_WAIT = timedelta(seconds=15)  # of a job for another one of its ticket
ECHO = timedelta(minutes=10)  # in which a failure note may cause a webhook of its ticket
REFRESH_APART = timedelta(hours=1)  # between further notes of a ticket
DELIVERY_KNOWN = timedelta(minutes=10)  # from the first one on
KEYS_KEPT = timedelta(hours=1)  # after that, for events that waited in Redis
REJECTIONS_KEPT = timedelta(days=7)  # and tickets without a webhook
USES_KEPT = timedelta(days=7)  # of secrets, by the hour
SECRETS_KEPT = timedelta(days=30)  # since a process had it: one that comes back is as old as it was
MOST_RECOVERED_A_MINUTE = 60  # jobs for a tenant's missed webhooks
PUBLISHED_LATELY = timedelta(seconds=3)  # in which the message may be on its way
OVERDUE = timedelta(minutes=1)  # past its deadline, when a job should have an outcome
TURN_LOOKS = 16  # tenants that a claim compares
SHORTEST_TURN = timedelta(seconds=1)  # that a start counts as a place, even if the job ends at once
