from django.db import migrations, models
from django.db.models import Q

from django_durable.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_durable", "0015_forks")]
    operations = [
        AddIndexConcurrently(
            "workflowexecution",
            models.Index(fields=["forked_from"], condition=Q(forked_from__isnull=False), name="durable_run_forks"),
        ),
    ]
