"""What the workflows of this example do to the world. Open them in the admin and see."""

from django.db import models


class Account(models.Model):
    """Somebody who signed up."""

    class State(models.TextChoices):
        TRIAL = "trial"
        CUSTOMER = "customer"
        DORMANT = "dormant"

    address = models.EmailField(unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.TRIAL)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.address


class Email(models.Model):
    """A message that left the house: the book of a mail provider, which delivers one key once."""

    key = models.CharField(max_length=200, unique=True)
    account = models.ForeignKey(Account, models.CASCADE, related_name="emails")
    template = models.CharField(max_length=50)
    attempt = models.PositiveIntegerField(help_text="which attempt of the activity handed it over")
    sent_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"{self.template} to {self.account}"


class Contact(models.Model):
    """One line of the address book that a new account brings along."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="contacts")
    number = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField(help_text="which attempt of the activity imported it")
    imported_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="one_row_per_contact")]
        ordering = ["account", "number"]

    def __str__(self):
        return f"contact {self.number} of {self.account}"


class Invoice(models.Model):
    """A charge. The key is what makes charging twice impossible."""

    key = models.CharField(max_length=200, unique=True)
    account = models.ForeignKey(Account, models.CASCADE, related_name="invoices")
    cents = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"invoice {self.pk} for {self.account}"
