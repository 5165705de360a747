from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "later_0004_mail")]
    operations = [
        migrations.AddField("queueentry", "note", models.TextField(null=True)),
    ]
