from django.db import migrations, models
from django.db.models import Q

from django_durable.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_durable", "0012_completion")]
    operations = [
        AddIndexConcurrently(
            "workflowexecution",
            models.Index(
                fields=["workflow_id", "created_at"], condition=Q(workflow_id__isnull=False), name="durable_run_own_id"
            ),
        ),
    ]
