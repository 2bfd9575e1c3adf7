/* Writes a Berkeley DB hash as rpm did while it wrote them: the number of a header is the key, its blob the value; under the
 * number 0 lies the highest number.
 *
 *   put-bdb FILE BYTE-ORDER PAGE-BYTES BLOB...      BYTE-ORDER is 1234 or 4321
 *
 * A header that goes again leaves pages behind that are free: the first blob is put once more and deleted at the end. */
#include <arpa/inet.h>
#include <db.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int status, const char *what)
{
    if (status == 0) return;
    fprintf(stderr, "%s: %s\n", what, db_strerror(status));
    exit(1);
}

static void put(DB *db, uint32_t number, void *bytes, uint32_t length)
{
    DBT key = {.data = &number, .size = sizeof number};
    DBT value = {.data = bytes, .size = length};
    check(db->put(db, NULL, &key, &value, 0), "put");
}

int main(int count, char **arguments)
{
    if (count < 5) return 2;
    int order = atoi(arguments[2]);
    DB *db;
    check(db_create(&db, NULL, 0), "create");
    check(db->set_lorder(db, order), "byte order");
    check(db->set_pagesize(db, atoi(arguments[3])), "page size");
    check(db->open(db, NULL, arguments[1], NULL, DB_HASH, DB_CREATE | DB_EXCL, 0644), "open");
    uint32_t number = 0;
    static unsigned char bytes[1 << 20];
    for (int index = 4; index <= count; index++) {
        FILE *file = fopen(arguments[index < count ? index : 4], "rb");
        if (!file) { perror("open"); return 1; }
        uint32_t length = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        number++;
        put(db, order == 4321 ? htonl(number) : number, bytes, length);
    }
    put(db, 0, &number, sizeof number);
    uint32_t last = order == 4321 ? htonl(number) : number;
    DBT key = {.data = &last, .size = sizeof last};
    check(db->del(db, NULL, &key, 0), "delete");
    check(db->close(db, 0), "close");
}
