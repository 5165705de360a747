"""Forms that people answer with."""

from __future__ import annotations

from django import forms


class Approval(forms.Form):
    approved = forms.BooleanField(required=False)
    amount = forms.DecimalField(max_digits=8, decimal_places=2)
    day = forms.DateField()
    comment = forms.CharField(required=False)

    def clean_amount(self):
        if self.cleaned_data["amount"] < 0:
            raise forms.ValidationError("<i>less</i> than nothing")
        return self.cleaned_data["amount"]


NOT_A_FORM = 7
