"""Runs, their histories and their activities in the admin, for reading; and what people are asked, to be answered.

Nobody adds, changes or deletes here, superusers included: a history that was edited replays no more.
"""

from django_durable.admin import parts as parts
from django_durable.admin import people as people
from django_durable.admin import runs as runs
