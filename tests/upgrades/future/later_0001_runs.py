from pathlib import Path

from django.db import migrations, models

import django_durable.migrations

NEWEST = max(path.stem for path in Path(django_durable.migrations.__path__[0]).glob("0*.py"))


class Migration(migrations.Migration):
    dependencies = [("django_durable", NEWEST)]
    operations = [
        migrations.AddField("workflowexecution", "note", models.TextField(null=True)),
        migrations.CreateModel("Later", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]),
    ]
