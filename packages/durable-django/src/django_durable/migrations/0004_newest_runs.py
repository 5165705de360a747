from django.db import migrations, models

from django_durable.indexes import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("django_durable", "0003_worker_exclude")]
    operations = [
        AddIndexConcurrently("workflowexecution", models.Index(fields=["-created_at"], name="durable_run_created")),
    ]
