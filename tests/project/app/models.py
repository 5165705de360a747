from __future__ import annotations

from django.db import models


class Order(models.Model):
    """What workflows of the test project work on."""

    number = models.CharField(max_length=40, unique=True)
    paid = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.number
