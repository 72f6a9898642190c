"""Where everything is."""

from django.urls import path

from . import api, export, pages

urlpatterns = [
    path("", pages.ticket_list, name="tickets"),
    path("tickets/<int:ticket_id>/", pages.ticket_page, name="ticket"),
    path("export.csv", export.export_tickets, name="export"),
    path("api/tickets/", api.TicketCollection.as_view()),
    path("api/tickets/<int:ticket_id>/", api.TicketResource.as_view()),
    path("api/tickets/<int:ticket_id>/merge/", api.merge_ticket),
]
