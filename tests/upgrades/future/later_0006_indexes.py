from django.db import migrations, models

from django_durable.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_durable", "later_0005_entries")]
    operations = [
        AddIndexConcurrently("activitytask", models.Index(fields=["finished_at"], name="durable_later_task")),
        AddIndexConcurrently("workflowexecution", models.Index(fields=["finished_at"], name="durable_later_run")),
        AddIndexConcurrently("historyevent", models.Index(fields=["created_at"], name="durable_later_event")),
    ]
