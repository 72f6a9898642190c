"""Pages for people: the list of tickets, and a ticket with its replies and a form for the next one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from .forms import ReplyForm
from .models import Ticket


@require_safe
def ticket_list(request: HttpRequest) -> HttpResponse:
    return render(request, "help_desk/ticket_list.html", {"tickets": Ticket.objects.all()})


@require_http_methods(["GET", "HEAD", "POST"])
def ticket_page(request: HttpRequest, ticket_id: int) -> HttpResponse:
    ticket = get_object_or_404(Ticket, pk=ticket_id)
    form = ReplyForm(request.POST or None)
    if form.is_valid():
        form.instance.ticket = ticket
        form.save()
        return redirect(ticket)
    status = 422 if form.is_bound else 200
    return render(request, "help_desk/ticket_page.html", {"ticket": ticket, "form": form}, status=status)
