/* test.c - `et test`: Caffe's `caffe test`, the mean outputs of a trained net. */
#include <stdio.h>

#include "cli/caffe_flags.h"
#include "cli/commands.h"
#include "engine/caffe_log.h"
#include "engine/outputs.h"

static const char help[] =
    "usage: et test --model=FILE --weights=FILE [flags]\n\n"
    "Runs a net in its TEST phase and prints the means of its outputs.\n\n"
    "  --model=FILE        the net (prototxt)\n"
    "  --weights=F,F       its weights (.caffemodel, .caffemodel.h5)\n"
    "  --iterations=N      batches to run (50)\n" CAFFE_FLAGS_HELP CAFFE_EXTENSIONS_HELP "\nexample:\n"
    "  et test --model=lenet_train_test.prototxt --weights=lenet_iter_1000.caffemodel --iterations=100\n";

static void log_batch(const struct outputs *batch, int number)
{
    char title[32];
    snprintf(title, sizeof(title), "Batch %d, ", number);
    const float *at = batch->values;
    for (int i = 0; i < batch->n; i++)
        for (size_t k = 0; k < batch->each[i].n; k++)
            caffe_log('I', "caffe.cpp:304", "%s%s = " CAFFE_FLOAT, title, batch->each[i].name, *at++);
}

static enum status test(const struct caffe_flags *f, struct error *err)
{
    caffe_flags_log_device(f, false);
    CLEANUP(net_freep) struct net *net = NULL;
    TRY(caffe_flags_net(f, CAFFE__PHASE__TEST, true, &net, err));
    caffe_log('I', "caffe.cpp:281", "Running for %d iterations.", f->iterations);

    CLEANUP(outputs_release) struct outputs batch = {0}, means = {0};
    outputs_init(&batch, net);
    outputs_init(&means, net);
    double loss = 0;
    for (int i = 0; i < f->iterations; i++) {
        double batch_loss;
        TRY(net_forward(net, &batch_loss, err));
        loss += batch_loss;
        outputs_read(&batch, net);
        log_batch(&batch, i);
        outputs_add(&means, net);
    }
    caffe_log('I', "caffe.cpp:309", "Loss: " CAFFE_FLOAT, loss / f->iterations);
    outputs_divide(&means, f->iterations);
    outputs_log(&means, "caffe.cpp:321", NULL);
    return OK;
}

int command_test(int argc, char **argv)
{
    CLEANUP(caffe_flags_release) struct caffe_flags f = {0};
    int end = caffe_flags_read("test", help, argc, argv, &f);
    if (end >= 0)
        return end;
    if (!f.model || !f.weights)
        return command_usage("test", "test needs --model and --weights");
    struct error err;
    return test(&f, &err) == OK ? EXIT_DONE : command_fail(&err);
}
