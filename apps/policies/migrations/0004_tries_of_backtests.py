from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0003_backtests")]

    operations = [
        migrations.AddField(
            model_name="backtest",
            name="tries",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
