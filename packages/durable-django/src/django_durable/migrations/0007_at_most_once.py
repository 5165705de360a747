from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0006_chain_index")]
    operations = [
        migrations.AddField("activitytask", "at_most_once", models.BooleanField(blank=True, null=True)),
    ]
