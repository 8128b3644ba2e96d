"""A Django project in one file, served by ASGI: a view that extracts, and a view that receives webhooks.

Start it with ``HOOK_URL=https://me.example/hooks/aihub HOOK_SECRET=... uvicorn django_service:application``.
"""

import os
import uuid

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from aihub_async import AsyncAIHub, WebhookReceiver

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY=uuid.uuid4().hex)
django.setup()

receiver = WebhookReceiver(os.environ["HOOK_URL"], secret=os.environ["HOOK_SECRET"])
client = AsyncAIHub(webhooks=receiver)


@csrf_exempt
async def extract(request: HttpRequest, name: str) -> JsonResponse:
    """Extract the fields of one document."""
    processed = await client.process([(name, request.body)], app_name="Invoices", timeout=600)
    fields = {row.field: row.value for row in processed.rows()}
    return JsonResponse({"fields": fields, "run": processed.run.id})


@csrf_exempt
async def hook(request: HttpRequest) -> HttpResponse:
    """Receive a webhook; one without the secret is answered 401."""
    answer = await receiver.respond(request.method or "", request.headers, request.body)
    return HttpResponse(answer.body, status=answer.status, headers=answer.headers)


urlpatterns = [path("extract/<str:name>", extract), path("hooks/aihub", hook)]
application = get_asgi_application()
