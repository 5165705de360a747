from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0003_worker_exclude")]
    operations = [
        migrations.AddIndex("workflowexecution", models.Index(fields=["-created_at"], name="durable_run_created")),
    ]
