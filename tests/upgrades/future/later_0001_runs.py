from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0006_chain_index")]
    operations = [
        migrations.AddField("workflowexecution", "note", models.TextField(null=True)),
        migrations.CreateModel("Later", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]),
    ]
