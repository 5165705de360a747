from django.db import migrations

import django_durable.fields


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0002_tune_postgres")]
    operations = [
        migrations.AddField("worker", "exclude", django_durable.fields.PayloadField(null=True)),
    ]
