"""The console: pages for people, at ``/console/`` of the API server.

A page is a handler in a module of ``pages/`` and a template of the same name in ``templates/``. It
shows what operations of the API return, called in process (``api.py``), so that scopes, masking,
limits and the audit log are the API's. To add one:

1. ``pages/things.py``: a ``web.RouteTableDef`` called ``routes``, with handlers that begin with
   ``page = await open_page(request)``, call ``page.api.call(operation_id, …)``, and end with
   ``page.render("things.html", …)`` or, after a write, ``page.redirect(…)``;
2. ``templates/things.html``, which extends ``layout.html`` and uses the macros of ``parts.html``;
3. its module in ``PAGES`` of ``app.py``, its entry of the rail in ``NAVIGATION`` of ``page.py``.

Pages work without JavaScript: forms are POSTed, and redirected afterwards. Nothing is inline.
"""
