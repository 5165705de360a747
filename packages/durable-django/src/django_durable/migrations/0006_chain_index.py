from django.db import migrations, models
from django.db.models import Q

from django_durable.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_durable", "0005_chains")]
    operations = [
        AddIndexConcurrently(
            "workflowexecution",
            models.Index(fields=["chain_id", "status"], condition=Q(chain_id__isnull=False), name="durable_run_chain"),
        ),
    ]
