/* Any bytes as a caffemodel: an error, or a net whose blobs, print and definition can be asked for. */
#include "fuzz.h"
#include "netdef/netdef.h"

static void look_at_blobs(const Caffe__NetParameter *net)
{
    struct shape shape;
    char text[SHAPE_TEXT_MAX];
    for (size_t i = 0; i < net->n_layer; i++) {
        for (size_t k = 0; k < net->layer[i]->n_blobs; k++) {
            blob_proto_shape(net->layer[i]->blobs[k], &shape);
            shape_text(&shape, text);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    Caffe__NetParameter *net;
    struct netdef *def;
    if (net_read_binary(data, size, &net, &err) != OK)
        return 0;
    look_at_blobs(net);
    struct buf print;
    buf_init(&print, 64 << 20);
    message_print_text(&net->base, &print);
    buf_release(&print);
    if (netdef_create(net, &(struct netdef_options){.phase = CAFFE__PHASE__TEST}, &def, &err) == OK)
        netdef_free(def);
    caffe__net_parameter__free_unpacked(net, NULL);
    return 0;
}
