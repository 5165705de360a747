import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_durable", "0014_unheard")]
    operations = [
        migrations.AddField(
            "workflowexecution",
            "forked_from",
            models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="forks",
                to="django_durable.workflowexecution",
            ),
        ),
    ]
