from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "later_0002_tasks")]
    operations = [
        migrations.AddField("historyevent", "note", models.TextField(null=True)),
    ]
