import django.db.models.deletion
from django.db import migrations, models

import django_durable.fields
import durable_core.ports.ids


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0016_fork_index")]
    operations = [
        migrations.CreateModel(
            name="HumanTask",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=durable_core.ports.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("call_id", models.CharField(max_length=255)),
                ("question", models.TextField()),
                ("form", django_durable.fields.PayloadField(null=True)),
                ("assignee", models.CharField(blank=True, max_length=255, null=True)),
                ("permission", models.CharField(blank=True, max_length=255, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("OPEN", "open"),
                            ("ANSWERED", "answered"),
                            ("EXPIRED", "expired"),
                            ("CANCELED", "canceled"),
                        ],
                        default="OPEN",
                        max_length=24,
                    ),
                ),
                ("answer", django_durable.fields.PayloadField(null=True)),
                ("answered_by", models.CharField(blank=True, max_length=255, null=True)),
                ("reason", models.TextField(blank=True, default="")),
                ("asked_at", django_durable.fields.InstantField(default=django_durable.fields.utc_now)),
                ("expires_at", django_durable.fields.InstantField(blank=True, null=True)),
                ("ended_at", django_durable.fields.InstantField(blank=True, null=True)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="human_tasks",
                        to="django_durable.workflowexecution",
                    ),
                ),
            ],
            options={
                "verbose_name": "human task",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "OPEN")),
                        fields=["assignee", "asked_at"],
                        name="durable_human_open",
                    ),
                    models.Index(fields=["-asked_at"], name="durable_human_asked"),
                ],
            },
        ),
    ]
