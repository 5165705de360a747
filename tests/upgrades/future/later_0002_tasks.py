from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "later_0001_runs")]
    operations = [
        migrations.AddField("activitytask", "weight", models.IntegerField(db_default=1)),
    ]
