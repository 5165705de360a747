import django.db.models.deletion
from django.db import migrations, models

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0010_event_values")]
    operations = [
        migrations.CreateModel(
            name="PublishedItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chain_id", models.UUIDField()),
                ("stream", models.CharField(max_length=255)),
                ("call_id", models.CharField(max_length=255)),
                ("number", models.IntegerField()),
                ("item", django_durable.fields.PayloadField(null=True)),
                ("created_at", django_durable.fields.InstantField(default=django_durable.fields.utc_now)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="django_durable.workflowexecution",
                    ),
                ),
            ],
            options={
                "verbose_name": "published item",
                "indexes": [models.Index(fields=["chain_id", "stream", "id"], name="durable_stream_of_chain")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("execution", "call_id", "stream", "number"), name="durable_item_published_once"
                    )
                ],
            },
        ),
    ]
