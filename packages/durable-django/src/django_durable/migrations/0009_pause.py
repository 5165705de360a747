from django.db import migrations, models

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0008_messages")]
    operations = [
        migrations.AddField(
            "workflowexecution", "paused_at", django_durable.fields.InstantField(blank=True, null=True)
        ),
        migrations.AddField("workflowexecution", "pause_reason", models.TextField(blank=True, null=True)),
    ]
