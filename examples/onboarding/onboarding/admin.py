from django.contrib import admin

from onboarding.models import Account, Contact, Email, Invoice


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    list_display = ["id", "address", "state", "created_at"]
    list_filter = ["state"]


@admin.register(Email)
class EmailAdmin(admin.ModelAdmin):
    list_display = ["account", "template", "attempt", "sent_at"]
    list_filter = ["template"]


@admin.register(Contact)
class ContactAdmin(admin.ModelAdmin):
    list_display = ["account", "number", "attempt", "imported_at"]


@admin.register(Invoice)
class InvoiceAdmin(admin.ModelAdmin):
    list_display = ["id", "account", "cents", "created_at"]
