"""What runs inside the server: each method of the queue is one script, so it is atomic and costs one round trip.

Where an entry stands:

    new        in the stream, behind the group's last delivered id
    free       pending for the consumer "free": given back, taken from a dead worker, or read and not needed
    kept       pending for the consumer "for:<worker>": that worker may have it until its preference is over
    claimed    pending for the consumer "<worker>", an id in hex
    delayed    in the sorted set beside the stream, by the time when it is due, and in no stream

An entry that was ever read has a smaller id than all that were not, so "free and kept, then new" is "oldest first".
Ids hold microseconds, so they order entries across streams as well. The count of deliveries in the group is the
claim's token: it grows with each claim, and nobody else's claim of the entry has the same.

Only commands of Redis 6.2 are used, and keys that share the hash tag of KEYS[1].
"""
