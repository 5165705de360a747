from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0007_at_most_once")]
    operations = [
        migrations.AddField("workflowexecution", "note", models.TextField(null=True)),
        migrations.CreateModel("Later", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]),
    ]
