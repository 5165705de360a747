import django.db.models.deletion
from django.db import migrations, models

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [
        ("django_durable", "0007_at_most_once"),
    ]

    operations = [
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chain_id", models.UUIDField()),
                ("kind", models.CharField(choices=[("signal", "signal"), ("update", "update")], max_length=8)),
                ("key", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("SENT", "sent"),
                            ("ACCEPTED", "accepted"),
                            ("COMPLETED", "completed"),
                            ("FAILED", "failed"),
                            ("REJECTED", "rejected"),
                        ],
                        default="SENT",
                        max_length=24,
                    ),
                ),
                ("result", django_durable.fields.PayloadField(null=True)),
                ("failure", django_durable.fields.PayloadField(null=True)),
                ("created_at", django_durable.fields.InstantField(default=django_durable.fields.utc_now)),
                ("finished_at", django_durable.fields.InstantField(blank=True, null=True)),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="django_durable.workflowexecution",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("chain_id", "kind", "key"), name="durable_one_message_per_key")
                ],
            },
        ),
    ]
