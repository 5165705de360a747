from django.db import migrations

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0013_workflow_ids")]
    operations = [
        migrations.AddField("workflowexecution", "unheard", django_durable.fields.PayloadField(null=True)),
    ]
