"""How workflows are tested: in a TestCase, by the real engine, without a worker."""

from unittest import mock

from django.test import TestCase, override_settings

from django_durable import WorkflowFailed, current_activity, run_workflow, send_signal
from onboarding.models import Account, Contact, Email


def click(key, user_id, template, attempt):
    """A customer who clicks as soon as an e-mail is there."""
    send_signal(current_activity().execution_id, "user_clicked", {"clicked": True})


class OnboardingTest(TestCase):
    def test_somebody_who_clicks_becomes_a_customer(self):
        with (
            mock.patch("onboarding.mail.deliver", side_effect=click),
            mock.patch("onboarding.durable_activities.IMPORT_SECONDS", 0),
        ):
            result = run_workflow("onboard_user", user_id=7, trial=0)
        assert result["click"] == {"clicked": True}
        assert Contact.objects.count() == 8
        assert Account.objects.get().state == "customer"

    def test_somebody_who_never_clicks_is_nudged_once(self):
        result = run_workflow("onboard_user", user_id=7, nudge_after=0.01)
        assert result["outcome"] == "dormant"
        assert [email.template for email in Email.objects.all()] == ["welcome", "nudge"]

    def test_nothing_cannot_be_charged(self):
        with self.assertRaisesMessage(WorkflowFailed, "cannot charge 0 cents"):
            run_workflow("bill_first_month", user_id=7, cents=0)


@override_settings(DURABLE={"WORKFLOW_CACHE_SIZE": 0})
class ReplayedOnboardingTest(OnboardingTest):
    """The same, with each run thrown out of memory after every step: is its code deterministic?"""
