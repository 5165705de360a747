from django.db import migrations, models

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0011_published_items")]
    operations = [
        migrations.AddField(
            "activitytask", "completion_digest", models.CharField(blank=True, max_length=64, null=True)
        ),
        migrations.AddField(
            "activitytask", "completion_expires_at", django_durable.fields.InstantField(blank=True, null=True)
        ),
    ]
