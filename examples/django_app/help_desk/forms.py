"""What may be written: the same rules for the pages and the API."""

from django import forms

from .models import Reply, Ticket


class NewTicketForm(forms.ModelForm):
    class Meta:
        model = Ticket
        fields = ("subject", "description", "requester", "details")


class StatusForm(forms.ModelForm):
    class Meta:
        model = Ticket
        fields = ("status",)


class ReplyForm(forms.ModelForm):
    class Meta:
        model = Reply
        fields = ("author", "text")
