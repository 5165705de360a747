import django.db.models.deletion
from django.db import migrations, models

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0009_pause")]
    operations = [
        migrations.CreateModel(
            name="EventValue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chain_id", models.UUIDField()),
                ("key", models.CharField(max_length=255)),
                ("value", django_durable.fields.PayloadField(null=True)),
                ("set_at", django_durable.fields.InstantField(default=django_durable.fields.utc_now)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="django_durable.workflowexecution",
                    ),
                ),
            ],
            options={
                "verbose_name": "event",
                "indexes": [models.Index(fields=["chain_id", "key", "id"], name="durable_event_of_chain")],
                "constraints": [models.UniqueConstraint(fields=("execution", "key"), name="durable_one_value_per_key")],
            },
        ),
    ]
