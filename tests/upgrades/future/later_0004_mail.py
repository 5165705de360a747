from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "later_0003_events")]
    operations = [
        migrations.AddField("mail", "note", models.TextField(null=True)),
    ]
