"""Artifactory's files as its query language and its storage address show them (registries.md 6.5)."""
import datetime

from .aql import ITEM_FIELDS, Query
from .content import timestamp
from .server import Response
from .simulator import route


class Files:
    """To be mixed into Artifactory."""

    @route("POST", "/artifactory/api/search/aql", name="tags")
    def search(self, request):
        self.admin_api(request)
        account = self.needs_login(request)
        if account is None:
            return self.problem(403, "This request is blocked due to recurrent login failures, or needs a login")
        if request.header("content-type").partition(";")[0] != "text/plain":
            self.violation(request, "6.5", "a query is text/plain")
            return self.problem(415, "Unsupported Media Type")
        try:
            query = Query.parse(request.body.decode())
            found = [item for item in self.items() if query.matches(item) and self.may_read(account, self.content.areas[item["area"]])]
        except (KeyError, TypeError, ValueError) as problem:
            self.violation(request, "6.5", f"no query: {problem}")
            return self.problem(400, "Failed to parse query")
        if not query.repositories():
            self.violation(request, "6.3", "a query that names no repository key finds caches of remote ones")
        if not account.admin and not {"repo", "path", "name"} <= set(query.include):
            self.violation(request, "6.5", "repo, path and name are to be included")
            return self.problem(400, "For permissions reasons AQL demands the following fields: repo, path and name.")
        if query.sort and not account.admin and self.knob["sort"] == "refused":
            self.violation(request, "6.5", "sorting is for administrators")
            return self.problem(403, "Sort is not allowed for non-admin users")
        unknown = set(query.include) - ITEM_FIELDS
        if unknown:
            self.violation(request, "6.5", f"no fields of an item: {', '.join(sorted(unknown))}")
            return self.problem(400, "Failed to parse query")
        size = min(query.limit or self.page_cap, self.page_cap)
        page = self.page(request, found, query.offset, size, str(query.criteria))
        bounds = {"start_pos": query.offset, "end_pos": query.offset + len(page.items), "total": page.total}
        if query.limit is not None and self.knob["range-limit"] == "present":
            bounds["limit"] = query.limit
        wanted = query.include or ITEM_FIELDS - {"sha256"}
        return Response.json({"results": [{field: item[field] for field in wanted if field in item} for item in page.items], "range": bounds})

    def items(self):
        """Every file there is, as AQL knows it. The cache of a remote key goes by another name."""
        for repository in self.content.repositories.values():
            area = self.content.areas[repository.area]
            key = area.name + "-cache" if area.kind == "remote" else area.name
            if area.kind == "virtual":
                continue
            for tag in repository.tags.values():
                yield self.item(area, key, f"{repository.path}/{tag.name}", tag.manifest, tag)
                for child in tag.manifest.children:
                    folder = self.knob["children"] + child.digest.partition(":")[2]
                    yield self.item(area, key, f"{repository.path}/{folder}", child, tag)
            yield self.item(area, key, f"{repository.path}/_uploads", next(iter(repository.tags.values())).manifest, None, "manifest.json")

    def item(self, area, key, path, manifest, tag, name=None):
        moment = self.date(tag)
        sums = {"sha256": manifest.digest.partition(":")[2]} if self.knob["sha256"] == "present" else {}
        return sums | {
            "area": area.name, "repo": key, "path": path, "type": "file", "size": manifest.size, "created": moment,
            "name": name or ("list.manifest.json" if manifest.is_list else "manifest.json"), "created_by": "ci",
            "modified": moment, "modified_by": "ci", "updated": moment}

    def date(self, tag):
        if tag is None:
            return "2026-01-01T00:00:00.000Z"
        if self.knob["offset"] == "Z":
            return timestamp(tag.pushed)
        return tag.pushed.astimezone(datetime.timezone(datetime.timedelta(hours=2))).isoformat(timespec="milliseconds")

    @route("GET", "/artifactory/api/storage/([^/]+)/(.+)/([^/]+)/(manifest.json|list.manifest.json)", name="storage")
    def storage(self, request, key, image, tag, file):
        self.admin_api(request)
        account = self.needs_login(request)
        area = self.content.areas.get(key.removesuffix("-cache"))
        repository = self.content.repositories.get(f"{area.name}/{image}") if area else None
        if repository is None or tag not in repository.tags or not self.may_read(account, area) \
                or repository.tags[tag].manifest.is_list != (file == "list.manifest.json"):
            return self.problem(404, "Unable to find item")
        found, there = repository.tags[tag], f"{self.url('web')}/artifactory/api/storage/{key}/{image}/{tag}/{file}"
        moment, sums = self.date(found), {"sha256": found.digest.partition(":")[2]}
        return Response.json({"repo": key, "path": f"/{image}/{tag}/{file}", "created": moment, "createdBy": "ci", "lastModified": moment,
                              "modifiedBy": "ci", "lastUpdated": moment, "downloadUri": there.replace("/api/storage", ""),
                              "mimeType": "application/json", "size": str(found.manifest.size), "checksums": sums,
                              "originalChecksums": sums, "uri": there})
