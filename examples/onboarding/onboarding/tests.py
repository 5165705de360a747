"""How workflows are tested: in a TestCase, by the real engine, without a worker."""

from unittest import mock

from django.test import TestCase, override_settings

from django_durable import WorkflowFailed, arun_workflow, current_activity, run_workflow, send_signal
from django_durable.models import WorkflowExecution
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

    async def test_a_browser_watches_the_import(self):
        with (
            mock.patch("onboarding.mail.deliver", side_effect=click),
            mock.patch("onboarding.durable_activities.IMPORT_SECONDS", 0),
        ):
            await arun_workflow("onboard_user", user_id=7, trial=0)
        execution = await WorkflowExecution.objects.aget(workflow_name="onboard_user")
        response = await self.async_client.get(f"/imports/{execution.pk}/events/")
        said = b"".join([line async for line in response]).decode()
        assert said.count("data: {") == 8
        assert '{"done": 8, "of": 8}' in said
        assert said.endswith("event: end\ndata: null\n\n")
        last = said.split("id: ")[7].splitlines()[0]
        response = await self.async_client.get(f"/imports/{execution.pk}/events/", headers={"Last-Event-ID": last})
        said = b"".join([line async for line in response]).decode()
        assert said.count("data: {") == 1

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
