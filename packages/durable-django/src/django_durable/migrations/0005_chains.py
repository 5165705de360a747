from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0004_newest_runs")]
    operations = [
        migrations.AddField("workflowexecution", "chain_id", models.UUIDField(blank=True, null=True)),
        migrations.AddField("workflowexecution", "timeout", models.FloatField(blank=True, null=True)),
    ]
