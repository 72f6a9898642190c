"""Tickets, and what was said about them."""

from typing import Any

from django.db import models
from django.urls import reverse


class Ticket(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        WAITING = "waiting"
        CLOSED = "closed"

    subject = models.CharField(max_length=120)
    description = models.TextField()
    requester = models.EmailField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    details = models.JSONField(default=dict, blank=True, help_text="What the requester's machine says about itself.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"#{self.pk} {self.subject}"

    def get_absolute_url(self) -> str:
        return reverse("ticket", args=[self.pk])

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.pk,
            "subject": self.subject,
            "description": self.description,
            "requester": self.requester,
            "status": self.status,
            "details": self.details,
            "created_at": self.created_at,
        }


class Reply(models.Model):
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="replies")
    author = models.CharField(max_length=80)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:40]}"
